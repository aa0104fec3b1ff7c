package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CharacterDeviceTest {
  @Test
  void statelessDevicesStay(@TempDir Path directory) {
    try (var move = Move.begin("devices", directory)) {
      move.all();
    }
  }
}
