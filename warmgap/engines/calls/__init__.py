"""What a call to an endpoint is made of: one exchange over HTTP, the reply that its body holds, and what it cost."""
