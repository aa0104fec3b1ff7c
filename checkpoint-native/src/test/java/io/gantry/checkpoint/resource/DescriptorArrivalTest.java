package io.gantry.checkpoint.resource;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DescriptorArrivalTest {
  @Test
  void sharingWithinAndBetweenProcessesStays(@TempDir Path directory) {
    try (var move = Move.begin("sharing", directory)) {
      move.all();
    }
  }

  @Test
  void twoHundredDescriptorsStay(@TempDir Path directory) {
    try (var move = Move.begin("many", directory)) {
      move.all();
    }
  }
}
