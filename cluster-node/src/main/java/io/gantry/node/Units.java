package io.gantry.node;

import java.time.Duration;
import java.util.Locale;
import java.util.regex.Pattern;

/** Sizes and durations as people write and read them. Sizes are powers of 1024. */
public final class Units {
  private static final Pattern SIZE = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*([kKmMgGtT]?)(?:i?[bB])?");
  private static final Pattern DURATION = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*(us|ms|s|m|h)");

  private Units() {}

  /**
   * Reads {@code 64M}, {@code 1G}, {@code 512KiB}, {@code 4096}.
   *
   * @return bytes
   * @throws IllegalArgumentException with a sentence
   */
  public static long parseBytes(String text) {
    var matcher = SIZE.matcher(text.strip());
    if (!matcher.matches()) {
      throw new IllegalArgumentException("'" + text + "' is not a size; write for instance 64M, 1G or 1.5G");
    }
    double value = Double.parseDouble(matcher.group(1));
    int shift =
        switch (matcher.group(2).toUpperCase(Locale.ROOT)) {
          case "K" -> 10;
          case "M" -> 20;
          case "G" -> 30;
          case "T" -> 40;
          default -> 0;
        };
    double bytes = value * (1L << shift);
    if (bytes > Long.MAX_VALUE / 2.0) {
      throw new IllegalArgumentException("'" + text + "' is more memory than any machine has");
    }
    return (long) bytes;
  }

  /**
   * Reads {@code 20ms}, {@code 1.5s}, {@code 2m}.
   *
   * @throws IllegalArgumentException with a sentence
   */
  public static Duration parseDuration(String text) {
    var matcher = DURATION.matcher(text.strip());
    if (!matcher.matches()) {
      throw new IllegalArgumentException("'" + text + "' is not a duration; write for instance 20ms, 1.5s or 2m");
    }
    double nanosecondsPerUnit =
        switch (matcher.group(2)) {
          case "us" -> 1e3;
          case "ms" -> 1e6;
          case "s" -> 1e9;
          case "m" -> 60e9;
          default -> 3600e9;
        };
    double nanoseconds = Double.parseDouble(matcher.group(1)) * nanosecondsPerUnit;
    if (nanoseconds > 1e18) {
      throw new IllegalArgumentException("'" + text + "' is longer than thirty years");
    }
    return Duration.ofNanos((long) nanoseconds);
  }

  /** {@code 1.0 GiB}, {@code 17.3 MiB}, {@code 812 B}. */
  public static String bytes(double bytes) {
    String[] units = {"B", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
      bytes /= 1024;
      unit++;
    }
    return unit == 0 ? String.format(Locale.ROOT, "%.0f B", bytes) : String.format(Locale.ROOT, "%.1f %s", bytes, units[unit]);
  }

  /** {@code 7.3 ms}, {@code 1.2 s}. */
  public static String millis(double millis) {
    if (millis < 0) {
      return "–";
    }
    return millis < 1000
        ? String.format(Locale.ROOT, millis < 100 ? "%.1f ms" : "%.0f ms", millis)
        : String.format(Locale.ROOT, "%.2f s", millis / 1000);
  }

  /** {@code 12,345}. */
  public static String count(long count) {
    return String.format(Locale.ROOT, "%,d", count);
  }
}
