package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Units;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** Shows a move while it goes on: one live line on a terminal, one line per step elsewhere. */
public final class ProgressLine {
  private static final int BAR_CELLS = 24;
  private static final String[] EIGHTHS = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

  /** Phases of {@code SourceTransition} at which the container is stopped, or goes on at the source. */
  private static final Set<String> NOTABLE = Set.of("Freezing", "RollingBack", "InDoubt");

  private final Console console;
  private final String prefix;
  private int lastRound;
  private String lastSentence = "";
  private Optional<String> lastPhase = Optional.empty();

  public ProgressLine(Console console) {
    this(console, "");
  }

  /** @param prefix stands before each line */
  public ProgressLine(Console console, String prefix) {
    this.console = console;
    this.prefix = prefix;
  }

  /** @param progress fields as in {@link io.gantry.actors.MigrationProgress}; any may be absent */
  public void show(ObjectNode progress) {
    String line = prefix + line(progress);
    if (console.errIsTerminal()) {
      console.live(line);
      return;
    }
    // A log wants a line per round and one for what happens to the container itself, not every step between the two nodes.
    String sentence = progress.path("sentence").asText();
    if (!sentence.isEmpty() && !sentence.equals(lastSentence)) {
      lastSentence = sentence;
      console.note(line);
      return;
    }
    int round = progress.path("round").asInt();
    String phase = progress.path("phase").asText();
    boolean isNotable = round > lastRound || NOTABLE.contains(phase) && !lastPhase.equals(Optional.of(phase));
    lastRound = round;
    lastPhase = Optional.of(phase);
    if (isNotable) {
      console.note(line);
    }
  }

  private String line(ObjectNode progress) {
    var text = new StringBuilder();
    double total = progress.path("resident_bytes").asDouble();
    double done = progress.path("bytes").asDouble();
    if (console.errIsTerminal() && total > 0) {
      text.append(bar(Math.min(1, done / total))).append(' ');
    }
    text.append(words(progress.path("phase").asText("Moving")));
    if (!progress.path("sentence").asText().isEmpty()) {
      return text.append(" · ").append(progress.path("sentence").asText()).toString();
    }
    if (progress.path("round").asInt() == 0 && done == 0) {
      return text.toString();
    }
    if (progress.has("round")) {
      text.append(" · round ").append(progress.path("round").asInt());
    }
    if (progress.has("bytes")) {
      text.append(" · ").append(Units.bytes(done));
    }
    if (progress.path("bytes_per_s").asDouble() > 0) {
      text.append(" · ").append(Units.bytes(progress.path("bytes_per_s").asDouble())).append("/s");
    }
    if (progress.has("dirty_pages_per_s")) {
      text.append(" · dirty ").append(Units.count(progress.path("dirty_pages_per_s").asLong())).append(" pages/s");
    }
    if (progress.path("predicted_pause_ms").asDouble(-1) >= 0) {
      text.append(" · pause ≈ ").append(Units.millis(progress.path("predicted_pause_ms").asDouble()));
    }
    return text.toString();
  }

  /** {@code PreCopying} as {@code pre-copying}. */
  static String words(String phase) {
    return phase.replaceAll("(?<=[a-z])(?=[A-Z])", phase.startsWith("Pre") ? "-" : " ").toLowerCase(Locale.ROOT);
  }

  /** A bar with a resolution of an eighth of a cell. */
  static String bar(double fraction) {
    int eighths = (int) Math.round(fraction * BAR_CELLS * 8);
    String full = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    return "▕" + full + " ".repeat(BAR_CELLS - full.length()) + "▏";
  }
}
