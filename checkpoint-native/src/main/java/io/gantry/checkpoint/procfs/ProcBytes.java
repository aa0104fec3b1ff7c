package io.gantry.checkpoint.procfs;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads a whole file of {@code /proc/PID} and takes it apart without making strings of it. One thread. */
final class ProcBytes {
  final byte[] bytes;
  int at;

  ProcBytes(byte[] bytes) {
    this.bytes = bytes;
  }

  /** @throws ProcessGoneException when the process has ended */
  static byte[] read(int pid, String file) {
    try {
      return Files.readAllBytes(Path.of("/proc/" + pid + "/" + file));
    } catch (java.nio.file.NoSuchFileException e) {
      throw new ProcessGoneException(pid, e);
    } catch (IOException e) {
      // ESRCH has no exception of its own in java.nio.
      if (!Files.exists(Path.of("/proc/" + pid))) {
        throw new ProcessGoneException(pid, e);
      }
      throw new CheckpointException("reading /proc/" + pid + "/" + file + " failed: " + e.getMessage(), e);
    }
  }

  boolean hasMore() {
    return at < bytes.length;
  }

  byte peek() {
    return bytes[at];
  }

  /** A hexadecimal number, and the one character behind it. */
  long hex() {
    long value = 0;
    for (; at < bytes.length; at++) {
      int digit = Character.digit(bytes[at], 16);
      if (digit < 0) {
        break;
      }
      value = value << 4 | digit;
    }
    at++;
    return value;
  }

  /** A decimal number, and the one character behind it. */
  long decimal() {
    long value = 0;
    for (; at < bytes.length && bytes[at] >= '0' && bytes[at] <= '9'; at++) {
      value = value * 10 + bytes[at] - '0';
    }
    at++;
    return value;
  }

  void spaces() {
    while (at < bytes.length && bytes[at] == ' ') {
      at++;
    }
  }

  /** Where the line ends; leaves the position behind it. */
  int line() {
    int end = at;
    while (end < bytes.length && bytes[end] != '\n') {
      end++;
    }
    at = Math.min(end + 1, bytes.length);
    return end;
  }

  boolean startsWith(String text) {
    if (at + text.length() > bytes.length) {
      return false;
    }
    for (int i = 0; i < text.length(); i++) {
      if (bytes[at + i] != text.charAt(i)) {
        return false;
      }
    }
    return true;
  }
}
