"""nginx with two workers, and clients whose connections stay open."""

import hashlib
import os
import random

from driver import Driver, KeepAlive, listens

PORT = 8099
CONFIGURATION = """
daemon off;
user nobody nogroup;
worker_processes 2;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  client_body_temp_path {directory}/temp;
  proxy_temp_path {directory}/temp;
  fastcgi_temp_path {directory}/temp;
  uwsgi_temp_path {directory}/temp;
  scgi_temp_path {directory}/temp;
  server {{ listen 127.0.0.1:{port}; root {directory}/files; }}
}}
"""

driver = Driver()
os.makedirs(driver.path("files"))
os.makedirs(driver.path("temp"))
contents = []
for size in (0, 1, 700, 65_536, 3_000_000):
    data = random.Random(size).randbytes(size)
    with open(driver.path("files", str(size)), "wb") as file:
        file.write(data)
    contents.append((f"/{size}", hashlib.sha256(data).digest()))
with open(driver.path("nginx.conf"), "w", encoding="ascii") as file:
    file.write(CONFIGURATION.format(directory=driver.directory, port=PORT))
driver.start("nginx", ["/usr/sbin/nginx", "-p", driver.directory, "-c", driver.path("nginx.conf")])
driver.wait_for("nginx", lambda: listens(PORT))
for _ in range(6):
    driver.client(KeepAlive(driver, PORT, contents).ask)
driver.serve()
