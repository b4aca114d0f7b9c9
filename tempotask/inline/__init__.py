"""The door of `init(inline=True)`: jobs run in the caller, at once. For tests of applications.

No server is opened and no process started. Payloads are encoded, decoded and validated, errors turned into failures,
tries counted as in a worker, by the same code; what is different is said in docs/testing.md: nobody waits (`delay`,
`retry_delay`), and nobody keeps time limits.
"""
