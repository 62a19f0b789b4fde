"""Questions on rivers, a judge that reads how a reply opens, a recipe that puts facts first, a suite that doubts."""
