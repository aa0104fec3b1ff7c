package io.gantry.checkpoint.image;

import io.gantry.checkpoint.state.XsaveArea;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Process state as CRIU's files: {@code pstree.img}, and {@code core-TID}, {@code ids-PID}, {@code fs-PID}. */
final class ProcessImages {
  private ProcessImages() {}

  static void write(Path directory, final_state state) throws IOException {
    ImageFile.PSTREE.write(
        directory.resolve(ImageFile.PSTREE.fileName()),
        state.getProcessesList().stream().map(process_state::getTree).toList());
    for (process_state process : state.getProcessesList()) {
      int pid = process.getTree().getPid();
      for (int i = 0; i < process.getThreadsCount(); i++) {
        var core = process.getThreads(i);
        var file = directory.resolve(ImageFile.CORE.fileName(process.getTree().getThreads(i)));
        ImageFile.CORE.write(file, List.of(forCriu(core)));
        if (core.hasIds()) {
          ImageFile.IDS.write(directory.resolve(ImageFile.IDS.fileName(pid)), List.of(core.getIds()));
        }
      }
      if (process.hasFs()) {
        ImageFile.FS.write(directory.resolve(ImageFile.FS.fileName(pid)), List.of(process.getFs()));
      }
    }
  }

  private static core_entry forCriu(core_entry core) {
    if (!core.getThreadInfo().getFpregs().hasXsaveArea()) {
      return core;
    }
    var full = core.toBuilder();
    full.getThreadInfoBuilder().setFpregs(XsaveArea.expanded(core.getThreadInfo().getFpregs()));
    return full.build();
  }

  /** What is left of the message when all that has files of its own is taken out. */
  static final_state rest(final_state state) {
    var rest = state.toBuilder();
    for (int i = 0; i < state.getProcessesCount(); i++) {
      rest.getProcessesBuilder(i).clearThreads().clearFs();
    }
    return rest.build();
  }

  /** Puts the message together again. */
  static final_state read(Path directory, final_state rest) {
    var state = rest.toBuilder();
    for (process_state.Builder process : state.getProcessesBuilderList()) {
      int pid = process.getTree().getPid();
      for (int tid : process.getTree().getThreadsList()) {
        var core = ImageFile.CORE.readOne(directory.resolve(ImageFile.CORE.fileName(tid)), core_entry::parseFrom);
        process.addThreads(withoutExpansion(core));
      }
      var fs = directory.resolve(ImageFile.FS.fileName(pid));
      if (Files.exists(fs)) {
        fs_entry entry = ImageFile.FS.readOne(fs, fs_entry::parseFrom);
        process.setFs(entry);
      }
    }
    return state.build();
  }

  /** As it was sent: the area alone says everything. */
  private static core_entry withoutExpansion(core_entry core) {
    if (!core.getThreadInfo().getFpregs().hasXsaveArea()) {
      return core;
    }
    var lean = core.toBuilder();
    lean.getThreadInfoBuilder().getFpregsBuilder().clearStSpace().clearXmmSpace().clearXsave();
    return lean.build();
  }
}
