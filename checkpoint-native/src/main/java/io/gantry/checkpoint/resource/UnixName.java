package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Sockets;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;

/**
 * The name of a Unix socket ({@code man 7 unix}): none, abstract, or a path exactly as {@code bind(2)} was given it.
 *
 * @param bytes empty for none; an abstract one begins with a zero byte; a path has no final zero byte
 */
record UnixName(byte[] bytes) {
  private static final int FAMILY_BYTES = 2;

  /** From a raw {@code struct sockaddr_un}. */
  static UnixName parse(byte[] raw) {
    if (raw.length <= FAMILY_BYTES) {
      return new UnixName(new byte[0]);
    }
    int end = raw.length;
    if (raw[FAMILY_BYTES] != 0) {
      end = FAMILY_BYTES;
      while (end < raw.length && raw[end] != 0) {
        end++;
      }
    }
    return new UnixName(Arrays.copyOfRange(raw, FAMILY_BYTES, end));
  }

  byte[] raw() {
    return ByteBuffer.allocate(FAMILY_BYTES + bytes.length)
        .putShort(Short.reverseBytes((short) Sockets.AF_UNIX))
        .put(bytes)
        .array();
  }

  boolean isNone() {
    return bytes.length == 0;
  }

  boolean isPath() {
    return bytes.length > 0 && bytes[0] != 0;
  }

  boolean isAbstract() {
    return bytes.length > 0 && bytes[0] == 0;
  }

  /** A path as text; empty when it is no valid UTF-8. */
  Optional<String> path() {
    try {
      CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
      return Optional.of(text.toString());
    } catch (CharacterCodingException e) {
      return Optional.empty();
    }
  }

  /** Where a path leads from a root directory that has nothing in it: the names below it, one by one. */
  List<String> steps() {
    var steps = new ArrayList<String>();
    for (var step : path().orElseThrow().split("/")) {
      if (step.equals("..")) {
        // At the root that leads nowhere.
        if (!steps.isEmpty()) {
          steps.removeLast();
        }
      } else if (!step.isEmpty() && !step.equals(".")) {
        steps.add(step);
      }
    }
    return steps;
  }

  /** Directories below such a root, parents first, through which a path leads: also those that it leaves again. */
  List<String> directories() {
    var made = new LinkedHashSet<String>();
    var all = path().orElseThrow().split("/");
    for (int end = 1; end < all.length; end++) {
      var steps = new UnixName(String.join("/", Arrays.copyOf(all, end)).getBytes(StandardCharsets.UTF_8)).steps();
      if (!steps.isEmpty()) {
        made.add(String.join("/", steps));
      }
    }
    return List.copyOf(made);
  }

  /** For comparing. */
  String key() {
    return HexFormat.of().formatHex(bytes);
  }

  /** For sentences: abstract names begin with {@code @}, as in {@code /proc/net/unix}. */
  String text() {
    if (isNone()) {
      return "no name";
    }
    var shown = new String(bytes, StandardCharsets.ISO_8859_1).replaceAll("[^ -~]", "@");
    return isAbstract() ? "@" + shown.substring(1) : path().orElse(shown);
  }
}
