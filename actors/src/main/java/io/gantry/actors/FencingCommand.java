package io.gantry.actors;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs a fencing command and waits for its end. Blocks; any thread that may. */
final class FencingCommand {
  /** More of its output is read and thrown away. */
  static final int OUTPUT_BYTES_MAX = 4096;

  /** How long the end of the output is waited for once the command has ended, should a child of it keep it open. */
  private static final Duration OUTPUT_MAX = Duration.ofSeconds(1);

  private FencingCommand() {}

  /**
   * What it came to.
   *
   * @param isOff whether it ended with status 0, which means that the host is surely off
   * @param sentence how it ended
   * @param output the beginning of what it wrote to standard output and error; at most {@value #OUTPUT_BYTES_MAX} bytes
   */
  record Outcome(boolean isOff, String sentence, String output) {}

  static Outcome run(List<String> words, Duration deadline) throws InterruptedException {
    Process process;
    try {
      process =
          new ProcessBuilder(words)
              .directory(new File("/"))
              .redirectInput(new File("/dev/null"))
              .redirectErrorStream(true)
              .start();
    } catch (IOException e) {
      return new Outcome(false, "The fencing command %s cannot be started: %s.".formatted(words.getFirst(), e.getMessage()), "");
    }
    var output = new Output(process.getInputStream());
    var reader = Thread.ofVirtual().name("fencing-output").start(output);
    try {
      if (!process.waitFor(deadline.toNanos(), TimeUnit.NANOSECONDS)) {
        return new Outcome(
            false, "The fencing command did not end within %d s and was killed.".formatted(deadline.toSeconds()), output.text());
      }
      reader.join(OUTPUT_MAX);
      var status = process.exitValue();
      return new Outcome(status == 0, "The fencing command ended with status %d.".formatted(status), output.text());
    } finally {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    }
  }

  /** Keeps the beginning. Read by one thread while another one asks. */
  private static final class Output implements Runnable {
    private final InputStream from;
    private final byte[] kept = new byte[OUTPUT_BYTES_MAX];
    private int length;

    Output(InputStream from) {
      this.from = from;
    }

    @Override
    public void run() {
      var buffer = new byte[OUTPUT_BYTES_MAX];
      try (from) {
        for (var read = from.read(buffer); read >= 0; read = from.read(buffer)) {
          keep(buffer, read);
        }
      } catch (IOException _) {
        // It was killed; what it has written until then is kept.
      }
    }

    private synchronized void keep(byte[] bytes, int count) {
      var more = Math.min(count, kept.length - length);
      System.arraycopy(bytes, 0, kept, length, more);
      length += more;
    }

    synchronized String text() {
      return new String(kept, 0, length, StandardCharsets.UTF_8).strip();
    }
  }
}
