"""What steering did to a prompt, as numbers, words and pictures."""
