"""Tasks in machines of their own."""
