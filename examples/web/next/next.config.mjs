export default { serverExternalPackages: ['jobmachine'] }
