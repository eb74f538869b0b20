"""What happens while a graph runs: read a prompt, decide, and steer its conditioning."""
