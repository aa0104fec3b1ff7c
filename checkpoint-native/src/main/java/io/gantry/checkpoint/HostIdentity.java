package io.gantry.checkpoint;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;

/**
 * What this host's CPU and kernel are, as far as a container could have noticed: read from {@code /proc} alone. Stateless; any thread.
 */
final class HostIdentity {
  /** {@code AT_MINSIGSTKSZ} (asm/auxvec.h, since 5.14): bytes of a signal frame, which grow with the user XSAVE area. */
  private static final long AT_MINSIGSTKSZ = 51;

  private HostIdentity() {}

  static String kernelRelease() {
    return read(Path.of("/proc/sys/kernel/osrelease")).strip();
  }

  /** Flags of the first processor, sorted; Linux shows the set that all processors have. */
  static List<String> cpuFeatures() {
    return read(Path.of("/proc/cpuinfo"))
        .lines()
        .filter(line -> line.startsWith("flags"))
        .findFirst()
        .map(line -> Arrays.stream(line.substring(line.indexOf(':') + 1).strip().split(" ")).sorted().toList())
        .orElseThrow(() -> new CheckpointException("/proc/cpuinfo names no CPU flags; only x86-64 is supported"));
  }

  /** Size of a signal frame in bytes: equal exactly when the kernels save the same XSAVE components for user space. */
  static int signalFrameBytes() {
    try {
      var auxv = ByteBuffer.wrap(Files.readAllBytes(Path.of("/proc/self/auxv"))).order(ByteOrder.nativeOrder());
      while (auxv.remaining() >= 16) {
        long type = auxv.getLong();
        long value = auxv.getLong();
        if (type == AT_MINSIGSTKSZ) {
          return Math.toIntExact(value);
        }
      }
    } catch (IOException e) {
      throw new CheckpointException("/proc/self/auxv cannot be read: " + e.getMessage(), e);
    }
    throw new CheckpointException("the kernel does not report AT_MINSIGSTKSZ; Linux 5.14 or later is needed");
  }

  static long memoryAvailableBytes() {
    return read(Path.of("/proc/meminfo"))
            .lines()
            .filter(line -> line.startsWith("MemAvailable:"))
            .findFirst()
            .map(line -> Long.parseLong(line.replaceAll("[^0-9]", "")))
            .orElseThrow(() -> new CheckpointException("/proc/meminfo has no MemAvailable"))
        * 1024;
  }

  /**
   * Hash of the vdso's bytes and of the sizes of the mappings before it. Equal kernels have equal ones; a process keeps pointers into
   * its vdso, so a container can only go where this is equal.
   */
  static String vdsoHash() {
    try (var memory = new RandomAccessFile("/proc/self/mem", "r")) {
      var digest = MessageDigest.getInstance("SHA-256");
      for (var line : Files.readAllLines(Path.of("/proc/self/maps"))) {
        boolean vdso = line.endsWith("[vdso]");
        if (!vdso && !line.contains("[vvar")) {
          continue;
        }
        var range = line.substring(0, line.indexOf(' ')).split("-");
        long start = Long.parseUnsignedLong(range[0], 16);
        int size = Math.toIntExact(Long.parseUnsignedLong(range[1], 16) - start);
        digest.update(ByteBuffer.allocate(4).putInt(size).flip());
        if (vdso) {
          var code = new byte[size];
          memory.seek(start);
          memory.readFully(code);
          digest.update(code);
        }
      }
      return HexFormat.of().formatHex(digest.digest(), 0, 16);
    } catch (IOException | NoSuchAlgorithmException e) {
      throw new CheckpointException("the vdso of this host cannot be read: " + e.getMessage(), e);
    }
  }

  /** Whether the kernel forbids to move its own mappings ({@code sl} among the VmFlags, Documentation/filesystems/proc.rst). */
  static boolean isVdsoSealed() {
    boolean inVdso = false;
    for (var line : read(Path.of("/proc/self/smaps")).split("\n")) {
      if (line.endsWith("[vdso]")) {
        inVdso = true;
      } else if (inVdso && line.startsWith("VmFlags:")) {
        return (line + " ").contains(" sl ");
      }
    }
    return false;
  }

  /** Whether bit {@code capability} (linux/capability.h) is in this process's effective set. */
  static boolean hasCapability(int capability) {
    return read(Path.of("/proc/self/status"))
        .lines()
        .filter(line -> line.startsWith("CapEff:"))
        .map(line -> Long.parseUnsignedLong(line.substring(7).strip(), 16))
        .anyMatch(set -> (set >>> capability & 1) == 1);
  }

  /** Compares the releases' first two numbers, such as 6.7. */
  static boolean kernelAtLeast(int major, int minor) {
    var numbers = kernelRelease().split("[.\\-+]");
    int ownMajor = Integer.parseInt(numbers[0]);
    int ownMinor = Integer.parseInt(numbers[1]);
    return ownMajor > major || ownMajor == major && ownMinor >= minor;
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new CheckpointException(file + " cannot be read: " + Objects.requireNonNullElse(e.getMessage(), e.toString()), e);
    }
  }
}
