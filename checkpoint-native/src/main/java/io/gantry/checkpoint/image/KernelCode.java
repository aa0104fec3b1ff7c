package io.gantry.checkpoint.image;

import io.gantry.checkpoint.procfs.Maps;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/** The vdso, which is the same in all 64-bit processes of a host ({@code man 7 vdso}), as this process has it. */
final class KernelCode {
  private KernelCode() {}

  /** Its pages; none when it has not this length. */
  static byte[] vdso(long bytes) throws IOException {
    for (Maps.Mapping mapping : Maps.read(Math.toIntExact(ProcessHandle.current().pid()))) {
      if (mapping.name().equals("[vdso]") && mapping.end() - mapping.start() == bytes) {
        var content = ByteBuffer.allocate((int) bytes);
        try (var memory = FileChannel.open(Path.of("/proc/self/mem"))) {
          while (content.hasRemaining() && memory.read(content, mapping.start() + content.position()) > 0) {
            // Read on.
          }
        }
        return content.hasRemaining() ? new byte[0] : content.array();
      }
    }
    return new byte[0];
  }
}
