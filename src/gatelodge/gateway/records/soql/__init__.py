"""SOQL, a documented subset: text to a tree (``parsing``), a tree to SQL (``compiling``), rows to records (``running``)."""
