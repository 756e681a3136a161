"""crdtstore itself: as a library, and as servers that follow each other."""
