#include "fuse_channels/operations.h"

namespace zvm::fuse_channels {

namespace {

// The functions that libfuse calls with what it decoded. Each runs inside process_buf and either
// answers or hands the request to a coroutine.
struct Operations {
  static Served& self(fuse_req_t req) { return *static_cast<Served*>(fuse_req_userdata(req)); }

  static Node* node_or_stale(Served& s, fuse_req_t req, fuse_ino_t ino) {
    Node* node = s.tree->node(ino);
    if (node == nullptr) s.take(req)->error(ino == Tree::kRoot ? EISDIR : ESTALE);
    return node;
  }

  static void answer_xattr(RequestPtr request, const std::string& value, size_t size) {
    if (size == 0) {
      request->xattr_size(value.size());
    } else if (size < value.size()) {
      request->error(ERANGE);
    } else {
      request->data(std::as_bytes(std::span(value)));
    }
  }

  static void init(void* userdata, fuse_conn_info* conn) {
    auto& s = *static_cast<Served*>(userdata);
    // KERNEL: whatever changes a file here comes through this very kernel, so that its page cache
    // is always right: it must not be dropped when an attribute reply shows another size or time.
    conn->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
    if ((conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA) != 0)
      conn->want |= FUSE_CAP_EXPLICIT_INVAL_DATA;
    ask_for(s.terms, conn);
    s.context.passthrough = passthrough_agreed(s.terms);
  }

  static void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
    auto& s = self(req);
    s.tree->lookup(s.take(req), parent, name);
  }

  static void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
    auto& s = self(req);
    auto request = s.take(req);
    if (ino == Tree::kRoot) {
      request->attr(s.tree->root_attr(), kForEver);
    } else if (const Node* node = s.tree->node(ino)) {
      request->attr(node->attr(), node->attr_valid());
    } else {
      request->error(ESTALE);
    }
  }

  static void setattr(
      fuse_req_t req, fuse_ino_t ino, struct stat* attr, int valid, fuse_file_info*) {
    auto& s = self(req);
    auto request = s.take(req);
    Node* node = s.tree->node(ino);
    const Options& options = s.context.options;
    const bool gives_away = ((valid & FUSE_SET_ATTR_UID) != 0 && attr->st_uid != options.uid) ||
                            ((valid & FUSE_SET_ATTR_GID) != 0 && attr->st_gid != options.gid);
    if (node == nullptr || gives_away) {
      request->error(EPERM);
    } else {
      node->setattr(std::move(request), *attr, valid);
    }
  }

  static void open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
    auto& s = self(req);
    if (Node* node = node_or_stale(s, req, ino)) node->open(s.take(req), info->flags);
  }

  static void release(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
    auto& s = self(req);
    if (Node* node = s.tree->node(ino)) node->release();
    s.take(req)->done();
  }

  static void read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, fuse_file_info*) {
    auto& s = self(req);
    if (Node* node = node_or_stale(s, req, ino))
      node->read(s.take(req), static_cast<uint64_t>(off), size);
  }

  static void write(
      fuse_req_t req, fuse_ino_t ino, const char* data, size_t size, off_t off, fuse_file_info*) {
    auto& s = self(req);
    const auto bytes = std::as_bytes(std::span<const char>(data, size));
    if (Node* node = node_or_stale(s, req, ino))
      node->write(s.take(req), bytes, static_cast<uint64_t>(off));
  }

  static void fallocate(
      fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, fuse_file_info*) {
    auto& s = self(req);
    if (Node* node = node_or_stale(s, req, ino)) {
      node->fallocate(s.take(req), mode, static_cast<uint64_t>(off), static_cast<uint64_t>(length));
    }
  }

  static void lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, fuse_file_info*) {
    auto& s = self(req);
    if (Node* node = node_or_stale(s, req, ino))
      node->seek(s.take(req), static_cast<uint64_t>(off), whence);
  }

  static void opendir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
    auto request = self(req).take(req);
    if (ino != Tree::kRoot) {
      request->error(ENOTDIR);
      return;
    }
    // The names never change: the kernel may keep the listing.
    info->cache_readdir = 1;
    info->keep_cache = 1;
    request->opened(*info);
  }

  static void readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, fuse_file_info*) {
    auto& s = self(req);
    s.tree->list(s.take(req), ino, static_cast<uint64_t>(off), size);
  }

  static void releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info*) {
    self(req).take(req)->done();
  }

  static void statfs(fuse_req_t req, fuse_ino_t) {
    auto& s = self(req);
    s.tree->statfs(s.take(req));
  }

  static void getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size) {
    auto& s = self(req);
    const Channel* channel = s.tree->channel_of(ino);
    if (channel != nullptr) {
      const auto found = channel->xattrs.find(std::string_view(name));
      if (found != channel->xattrs.end()) {
        answer_xattr(s.take(req), found->second, size);
        return;
      }
    }
    s.take(req)->error(ENODATA);
  }

  static void listxattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
    auto& s = self(req);
    std::string names;
    if (const Channel* channel = s.tree->channel_of(ino)) {
      for (const auto& [name, value] : channel->xattrs) names.append(name).push_back('\0');
    }
    answer_xattr(s.take(req), names, size);
  }

  static fuse_lowlevel_ops table() {
    fuse_lowlevel_ops ops{};
    ops.init = init;
    ops.lookup = lookup;
    ops.getattr = getattr;
    ops.setattr = setattr;
    ops.open = open;
    ops.release = release;
    ops.read = read;
    ops.write = write;
    ops.fallocate = fallocate;
    ops.lseek = lseek;
    ops.opendir = opendir;
    ops.readdir = readdir;
    ops.releasedir = releasedir;
    ops.statfs = statfs;
    ops.getxattr = getxattr;
    ops.listxattr = listxattr;
    return ops;
  }
};

}  // namespace

fuse_lowlevel_ops operations() {
  return Operations::table();
}

}  // namespace zvm::fuse_channels
