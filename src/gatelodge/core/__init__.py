"""The nouns of the product, one module each: its words, its rules, its rows. Nothing here does I/O."""
