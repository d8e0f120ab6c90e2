"""A fleet on this machine: real OpenSSH devices in Linux namespaces, for demos, tests and you.

`orchestrator.lab.lab.Lab` is the way in. Nothing here touches a network beyond loopback, and
nothing is left behind when the supervisor dies: no process, no mount.
"""
