"""Look at manifests before they are sent: what will not work, what seldom does, and what a change would do. Pure.

``linting`` holds documents to a table of rules, one small function each; ``course`` reckons what a rollout needs.
"""
