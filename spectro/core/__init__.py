"""The ground floor: values, tables and errors, on numpy and the standard library only."""
