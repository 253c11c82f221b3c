"""Keep code patterns searchable and scored: PostgreSQL rows → embeddings → Qdrant points.

The packages ``operators`` and ``hooks`` know Airflow. Everything else is plain Python and SQL and never imports it.
"""
