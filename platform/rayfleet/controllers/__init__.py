"""Our controllers: what each reads, what wakes it, which plan decides. The machine is ``rayfleet.reconciling``."""
