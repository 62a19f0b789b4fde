"""Questions on rivers, a judge that reads how a reply opens, and a recipe that puts facts first."""
