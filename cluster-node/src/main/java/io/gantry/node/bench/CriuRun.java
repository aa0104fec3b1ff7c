package io.gantry.node.bench;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.daemon.JavaProcess;
import io.gantry.node.demo.Temporary;
import io.gantry.node.demo.WorkloadStatus;
import io.gantry.node.workload.PageWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** CRIU's dump plus restore of the same program on the same machine, by the program's own clock. */
final class CriuRun {
  private static final Duration STEP_MAX = Duration.ofMinutes(2);

  private CriuRun() {}

  /**
   * Before anything is measured.
   *
   * @throws CommandException {@link ExitCode#NOT_FOUND} when that is no CRIU that runs here
   */
  static void requireUsable(Path criu) {
    if (!Files.isExecutable(criu)) {
      throw new CommandException(ExitCode.NOT_FOUND, "There is no program " + criu + " to compare with; give CRIU's own path.");
    }
    try (var temporary = Temporary.directory("gantry-criu-")) {
      run(temporary.path(), criu.toString(), "--version");
    } catch (IOException | CommandException failure) {
      throw new CommandException(ExitCode.NOT_FOUND, "The program " + criu + " to compare with does not run here: " + failure.getMessage(), failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new CommandException(ExitCode.INTERRUPTED, "Interrupted.");
    }
  }

  static double pauseMs(Path criu, long size, int dirtyPages, int everyMs) {
    try (var temporary = Temporary.directory("gantry-criu-")) {
      Path directory = temporary.path();
      Path images = Files.createDirectory(directory.resolve("images"));
      Path status = directory.resolve("status.json");
      Process program =
          new ProcessBuilder(
                  List.of(
                      "setsid", JavaProcess.java().toString(), "-XX:+UseSerialGC", "-Xms32m", "-Xmx64m", "-XX:-UsePerfData", "-cp",
                      JavaProcess.classPath(), PageWriter.class.getName(), directory.toString(), Long.toString(size),
                      Integer.toString(dirtyPages), Integer.toString(everyMs), "7200"))
              .directory(directory.toFile())
              .redirectInput(Path.of("/dev/null").toFile())
              .redirectOutput(directory.resolve("output").toFile())
              .redirectErrorStream(true)
              .start();
      long pid = program.pid();
      try {
        WorkloadStatus.await(status, "was not ready", STEP_MAX, state -> state.state().equals("running"));
        long beganNs = System.nanoTime();
        run(directory, criu.toString(), "dump", "--tree", Long.toString(pid), "--images-dir", images.toString());
        program.waitFor(10, TimeUnit.SECONDS);
        run(directory, criu.toString(), "restore", "--images-dir", images.toString(), "--restore-detached");
        long endedNs = System.nanoTime();
        WorkloadStatus after =
            WorkloadStatus.await(status, "did not go on after CRIU's restore", STEP_MAX, state -> state.writtenNs() > endedNs + 30_000_000L);
        return io.gantry.node.Json.round(after.longestGapMs(beganNs, endedNs + 30_000_000L));
      } finally {
        // The restored program has the same process id and is nobody's child here; it is ended by it.
        Files.createFile(directory.resolve("stop"));
        Optional<ProcessHandle> restored = ProcessHandle.of(pid);
        if (restored.isPresent() && !await(restored.get())) {
          restored.get().destroyForcibly();
        }
      }
    } catch (IOException failure) {
      throw new CommandException(ExitCode.FAILED, "The comparison with CRIU failed: " + failure.getMessage(), failure);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new CommandException(ExitCode.INTERRUPTED, "Interrupted.");
    }
  }

  private static boolean await(ProcessHandle process) throws InterruptedException {
    try {
      process.onExit().get(5, TimeUnit.SECONDS);
      return true;
    } catch (java.util.concurrent.ExecutionException | java.util.concurrent.TimeoutException still) {
      return !process.isAlive();
    }
  }

  private static void run(Path directory, String... command) throws IOException, InterruptedException {
    Path log = directory.resolve(command[1] + ".log");
    Process process =
        new ProcessBuilder(command).directory(directory.toFile()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    if (!process.waitFor(STEP_MAX.toSeconds(), TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new CommandException(ExitCode.FAILED, "criu " + command[1] + " did not end within " + STEP_MAX.toSeconds() + " s.");
    }
    if (process.exitValue() != 0) {
      List<String> lines = Files.readAllLines(log);
      throw new CommandException(
          ExitCode.FAILED, "criu " + command[1] + " failed: " + (lines.isEmpty() ? "exit status " + process.exitValue() : lines.getLast()));
    }
  }
}
