package source

// Unnamed is what the content of a URL without a name in its path is called.
const Unnamed = "__unnamed__"
