"""A Node.js server with timers and a worker thread, and clients whose connections stay open."""

import os
import shutil

from driver import Driver
from ticking import load

PORT = 8097

driver = Driver()
# A copy: the container's files are in its directory.
shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.js"), driver.path("server.js"))
driver.start("node", ["/usr/bin/node", driver.path("server.js"), str(PORT)])
load(driver, "node", PORT)
