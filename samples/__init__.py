"""Documents to try the workflows on, and the scripts that write them."""
