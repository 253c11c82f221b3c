# For Astronomer's CLI: `astro dev start`, `astro deploy`. The base image installs packages.txt and requirements.txt, and
# copies the project to /usr/local/airflow. docs/deploy.md says what to set. (Compose and Kubernetes use deploy/Dockerfile.)
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

# The connection form finds the type 'embedding' only beside the package on this path.
ENV PYTHONPATH=/usr/local/airflow/plugins
