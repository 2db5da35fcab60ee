"""One machine for every controller, ours and the stand-ins': keys in, passes out.

Observe, plan, execute, tell: the same for every kind. What differs is given as ``Steps`` (what is read, which plan)
and ``Watch`` (what wakes which key); a plan's writes are the five verbs of ``rayfleet.planning.writes``.
"""
