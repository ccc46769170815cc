# The networks in torch are imported by the tests that compare with them, where it is installed.
collect_ignore_glob = ["torch_*.py"]
