"""Files as all of GenLoom writes and reads them: whole or not at all, within bounds, with errors that name them."""
