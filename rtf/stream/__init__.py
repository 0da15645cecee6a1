"""Alerts as they come: from Kafka topics, or files replayed, to a topic of fingerprints and the archive.

python -m rtf.stream stream=ztf brokers=HOST:9092 stream.topics=[alerts] archive=archive output=fingerprints

from rtf.stream.history import open_histories

history = open_histories("stream").get("ZTF20aaaa007")     # also while a stream writes it

Notable:
- a batch goes to the output topic, the archive and the histories, in this order; its offsets are committed
  last: killed at any moment and started again, a stream goes on there
- each step leaves out what it has: the histories know the alerts that went all the way, the archive its rows,
  and what the topic holds beyond the last batch is read when the stream starts. So every alert is in topic
  and archive once, as long as one process streams into a folder
"""
