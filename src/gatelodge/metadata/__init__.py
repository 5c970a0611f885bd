"""An app as Salesforce's metadata files. Pure: texts in and out, no file and no database is touched here."""
