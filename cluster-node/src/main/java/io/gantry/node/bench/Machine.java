package io.gantry.node.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** On what something was measured. */
final class Machine {
  private Machine() {}

  static ObjectNode describe() {
    return Json.object()
        .put("processors", Runtime.getRuntime().availableProcessors())
        .put("cpu", field(Path.of("/proc/cpuinfo"), "model name"))
        .put("memory", field(Path.of("/proc/meminfo"), "MemTotal"))
        .put("kernel", System.getProperty("os.version"))
        .put("java", System.getProperty("java.vm.version"));
  }

  private static String field(Path file, String name) {
    try (var lines = Files.lines(file)) {
      return lines.filter(line -> line.startsWith(name)).findFirst().map(line -> line.substring(line.indexOf(':') + 1).strip()).orElse("");
    } catch (IOException unreadable) {
      return "";
    }
  }
}
