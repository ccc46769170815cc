# Only tests that compare with the PyTorch models import them, and only if torch is installed.
collect_ignore_glob = ["torch_*.py", "hub_models.py"]
