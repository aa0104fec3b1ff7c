package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Units;
import java.util.Optional;

/** Shows a move while it goes on: one live line on a terminal, one line per step elsewhere. */
public final class ProgressLine {
  private static final int BAR_CELLS = 24;
  private static final String[] EIGHTHS = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

  private final Console console;
  private final String prefix;
  private Optional<String> lastStep = Optional.empty();

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
    String step = progress.path("phase").asText() + "/" + progress.path("round").asInt();
    if (!lastStep.equals(Optional.of(step))) {
      lastStep = Optional.of(step);
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
    text.append(progress.path("phase").asText("moving"));
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

  /** A bar with a resolution of an eighth of a cell. */
  static String bar(double fraction) {
    int eighths = (int) Math.round(fraction * BAR_CELLS * 8);
    String full = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    return "▕" + full + " ".repeat(BAR_CELLS - full.length()) + "▏";
  }
}
