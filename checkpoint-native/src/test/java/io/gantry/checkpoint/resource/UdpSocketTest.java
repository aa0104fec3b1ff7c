package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UdpSocketTest {
  @Test
  void addressAndOptionsStay(@TempDir Path directory) {
    try (var move = Move.begin("udp", directory)) {
      move.all();
    }
  }
}
