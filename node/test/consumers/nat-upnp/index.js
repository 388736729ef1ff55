module.exports = require('../../../dist/nat-upnp.js');
