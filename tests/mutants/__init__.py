"""Deliberate bugs, put in one at a time: the checkers must catch each."""
