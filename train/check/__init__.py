"""What is wrong with a set of labelled crops, a module a question."""
