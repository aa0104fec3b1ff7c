package io.gantry.simulation.scenario;

import io.gantry.actors.MigrateOptions.OnStall;
import io.gantry.simulation.host.ContainerModel;
import io.gantry.simulation.network.NetworkModel;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Scenarios in a few lines of text. A line is a word and what belongs to it; {@code #} begins a remark.
 *
 * <pre>
 * nodes 4
 * moves 500
 * seed 7
 * pause-budget 20ms
 * deadline 60s
 * when-stalled freeze
 * network latency=50us jitter=20us bandwidth=1.1GB/s
 * container cache count=4 size=1GiB writes=20000/s processes=3 threads=12 descriptors=40
 * container batch count=2 size=256MiB quiet=100/s busy=200000/s period=2s busy-share=0.3
 * </pre>
 */
public final class ScenarioText {
  private static final Pattern NUMBER = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*([A-Za-z]*)(/s)?");
  private static final int PAGE_BYTES = 4096;

  private Scenario scenario = Scenario.of(2);
  private int line;

  private ScenarioText() {}

  /**
   * Reads a scenario.
   *
   * @throws IllegalArgumentException with a sentence that names the line
   */
  public static Scenario parse(String text) {
    return new ScenarioText().read(text);
  }

  private Scenario read(String text) {
    for (var raw : text.split("\\R")) {
      line++;
      var words = raw.replaceAll("#.*", "").strip().split("\\s+");
      if (!words[0].isEmpty()) {
        try {
          take(words);
        } catch (IllegalArgumentException mistake) {
          throw new IllegalArgumentException("Line " + line + ": " + mistake.getMessage(), mistake);
        }
      }
    }
    return scenario;
  }

  private void take(String[] words) {
    switch (words[0]) {
      case "nodes" -> scenario = scenario.withNodes((int) count(only(words)));
      case "moves" -> scenario = scenario.withMoves((int) count(only(words)));
      case "seed" -> scenario = scenario.withSeed(count(only(words)));
      case "pause-budget" -> scenario = scenario.withOptions(scenario.options().withPauseBudget(duration(only(words))));
      case "deadline" -> scenario = scenario.withOptions(scenario.options().withDeadline(duration(only(words))));
      case "when-stalled" ->
          scenario = scenario.withOptions(scenario.options().withOnStall(switch (only(words)) {
            case "freeze" -> OnStall.FREEZE;
            case "abort" -> OnStall.ABORT;
            default -> throw new IllegalArgumentException("when-stalled is freeze or abort, not " + words[1] + ".");
          }));
      case "network" -> network(pairs(words, 1));
      case "container" -> container(words);
      default ->
          throw new IllegalArgumentException(
              "'" + words[0] + "' is not known; a line begins with nodes, moves, seed, pause-budget, deadline, when-stalled,"
                  + " network or container.");
    }
  }

  private static String only(String[] words) {
    if (words.length != 2) {
      throw new IllegalArgumentException("'" + words[0] + "' takes one value.");
    }
    return words[1];
  }

  private void network(Map<String, String> pairs) {
    var usual = NetworkModel.RACK;
    scenario =
        scenario.withNetwork(
            new NetworkModel(
                nanos(pairs, "latency", usual.latencyNs()),
                nanos(pairs, "jitter", usual.jitterNs()),
                pairs.containsKey("bandwidth") ? bytes(pairs.remove("bandwidth")) : usual.bytesPerSecond(),
                usual.breakNs(),
                usual.noticeNs()));
    nothingElse(pairs);
  }

  private void container(String[] words) {
    if (words.length < 2 || words[1].contains("=")) {
      throw new IllegalArgumentException("A container needs a name first.");
    }
    var pairs = pairs(words, 2);
    var pages = Math.max(1, bytes(pairs.getOrDefault("size", "64MiB")) / PAGE_BYTES);
    pairs.remove("size");
    var howMany = pairs.containsKey("count") ? (int) count(pairs.remove("count")) : 1;
    var processes = pairs.containsKey("processes") ? (int) count(pairs.remove("processes")) : 1;
    var threads = pairs.containsKey("threads") ? (int) count(pairs.remove("threads")) : processes;
    var descriptors = pairs.containsKey("descriptors") ? (int) count(pairs.remove("descriptors")) : 3;
    ContainerModel model;
    if (pairs.containsKey("busy")) {
      model =
          ContainerModel.bursty(
              pages,
              count(pairs.getOrDefault("quiet", "0")),
              count(pairs.remove("busy")),
              nanos(pairs, "period", 1_000_000_000),
              Double.parseDouble(pairs.getOrDefault("busy-share", "0.5")));
      pairs.remove("quiet");
      pairs.remove("busy-share");
    } else {
      model = ContainerModel.steady(pages, count(pairs.getOrDefault("writes", "0")));
      pairs.remove("writes");
    }
    nothingElse(pairs);
    scenario = scenario.with(words[1], model.with(processes, threads, descriptors), howMany);
  }

  private static Map<String, String> pairs(String[] words, int from) {
    var pairs = new LinkedHashMap<String, String>();
    for (var i = from; i < words.length; i++) {
      var at = words[i].indexOf('=');
      if (at < 1) {
        throw new IllegalArgumentException("'" + words[i] + "' should be name=value.");
      }
      pairs.put(words[i].substring(0, at), words[i].substring(at + 1));
    }
    return pairs;
  }

  private static void nothingElse(Map<String, String> pairs) {
    if (!pairs.isEmpty()) {
      throw new IllegalArgumentException("'" + pairs.keySet().iterator().next() + "' is not known here.");
    }
  }

  private static long nanos(Map<String, String> pairs, String name, long usual) {
    var value = pairs.remove(name);
    return value == null ? usual : duration(value).toNanos();
  }

  private static Duration duration(String text) {
    var matcher = matched(text);
    double scale =
        switch (matcher[1]) {
          case "ns" -> 1;
          case "us" -> 1e3;
          case "ms" -> 1e6;
          case "s" -> 1e9;
          case "m" -> 60e9;
          default ->
              throw new IllegalArgumentException("'" + text + "' is not a duration; write for instance 20ms, 50us or 1.5s.");
        };
    return Duration.ofNanos((long) (Double.parseDouble(matcher[0]) * scale));
  }

  private static long bytes(String text) {
    var matcher = matched(text);
    double scale =
        switch (matcher[1].toUpperCase(Locale.ROOT)) {
          case "", "B" -> 1;
          case "KIB" -> 1L << 10;
          case "MIB" -> 1L << 20;
          case "GIB" -> 1L << 30;
          case "KB" -> 1e3;
          case "MB" -> 1e6;
          case "GB" -> 1e9;
          default -> throw new IllegalArgumentException("'" + text + "' is not a size; write for instance 64MiB or 1.1GB/s.");
        };
    return (long) (Double.parseDouble(matcher[0]) * scale);
  }

  private static long count(String text) {
    var matcher = matched(text);
    if (!matcher[1].isEmpty()) {
      throw new IllegalArgumentException("'" + text + "' is not a number.");
    }
    return (long) Double.parseDouble(matcher[0]);
  }

  private static String[] matched(String text) {
    var matcher = NUMBER.matcher(text);
    if (!matcher.matches()) {
      throw new IllegalArgumentException("'" + text + "' is not a number with a unit.");
    }
    return new String[] {matcher.group(1), matcher.group(2)};
  }
}
