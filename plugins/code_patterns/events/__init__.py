"""Events of Kafka: what another system says about patterns, and what the sync says about points."""
