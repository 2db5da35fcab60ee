"""What carries requests: one package per data path, all on the same pure rooms."""
