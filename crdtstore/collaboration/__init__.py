"""Texts and lists that people edit at once: rooms of Yjs clients, trials of what they send."""
