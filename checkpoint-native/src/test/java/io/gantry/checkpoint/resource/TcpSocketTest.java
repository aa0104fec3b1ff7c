package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TcpSocketTest {
  @Test
  void listenersAndOptionsStay(@TempDir Path directory) {
    try (var move = Move.begin("tcp", directory)) {
      move.all();
    }
  }
}
