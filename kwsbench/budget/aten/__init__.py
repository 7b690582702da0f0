"""What PyTorch's operators multiply: a formula for each of them that does, and the lists of those that do not.

A formula takes a `Call` and gives MACs, or None where the call has a form that it does not know.
"""
