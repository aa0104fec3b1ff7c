"""A Go server with tickers, goroutines and a busy collector, and clients whose connections stay open."""

import os

from driver import Driver
from ticking import load

PORT = 8095

driver = Driver()
source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.go")
environment = {"PATH": "/usr/bin:/bin", "HOME": driver.directory, "GOCACHE": driver.path("cache"), "GOTOOLCHAIN": "local", "GO111MODULE": "off", "CGO_ENABLED": "0"}
driver.run(["/usr/bin/go", "build", "-o", driver.path("server"), source], env=environment)
driver.start("go", [driver.path("server"), str(PORT)])
load(driver, "go", PORT)
