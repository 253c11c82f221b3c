"""Print the passwords of Airflow's simple auth manager, from the files that the environment names."""

import json
import os
from pathlib import Path

FILES = {"admin": "AIRFLOW_ADMIN_PASSWORD_FILE", "metrics": "AIRFLOW_METRICS_PASSWORD_FILE"}

if __name__ == "__main__":
    files = {user: os.environ[name] for user, name in FILES.items() if name in os.environ}
    print(json.dumps({user: Path(file).read_text().strip() for user, file in files.items()}))
